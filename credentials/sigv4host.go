package credentials

import (
	"regexp"
	"slices"
	"strings"
)

// regionLabel is one as hosts of AWS have it.
var regionLabel = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]+$`)

// signingNames are services whose hosts have another name than they are signed for.
var signingNames = map[string]string{"bedrock-runtime": "bedrock", "bedrock-agent": "bedrock", "bedrock-agent-runtime": "bedrock", "email": "ses", "runtime.sagemaker": "sagemaker", "runtime.lex": "lex", "api.ecr": "ecr", "s3-accesspoint": "s3", "s3-control": "s3", "lambda-url": "lambda", "data.iot": "iotdata"}

// impliedBy is the service and the region of a host of AWS; "" where it says none.
func impliedBy(host string) (service, region string) {
	name, _, _ := strings.Cut(host, ":")
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	rest, ok := "", false
	for _, suffix := range []string{".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".on.aws"} {
		if rest, ok = strings.CutSuffix(name, suffix); ok {
			break
		}
	}
	if !ok {
		return "", ""
	}
	labels := slices.DeleteFunc(strings.Split(rest, "."), func(l string) bool { return l == "dualstack" || l == "fips" })
	last := labels[len(labels)-1]
	switch {
	case regionLabel.MatchString(last):
		region, labels = last, labels[:len(labels)-1]
	case strings.HasPrefix(last, "s3-") && regionLabel.MatchString(last[3:]):
		region, labels[len(labels)-1] = last[3:], "s3"
	default:
		region = "us-east-1" // of services that have one host, and the oldest of S3
	}
	if len(labels) == 0 {
		return "", region
	}
	service = labels[len(labels)-1]
	if len(labels) > 1 {
		if two := strings.Join(labels[len(labels)-2:], "."); signingNames[two] != "" {
			return signingNames[two], region
		}
	}
	if n := signingNames[service]; n != "" {
		return n, region
	}
	return strings.TrimSuffix(service, "-fips"), region
}
