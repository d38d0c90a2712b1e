# Metadata services: what tells a machine about itself, credentials included, to
# whoever asks from there. Without a rule of yours they are refused all the same.
package sallyport.packs.metadata

hosts := {
	"metadata",
	"metadata.google.internal",
	"metadata.goog",
	"instance-data",
	"instance-data.ec2.internal",
	"metadata.azure.internal",
	"metadata.tencentyun.com",
	"metadata.packet.net",
	"metadata.platformequinix.com",
	"metadata.oraclecloud.com",
	"169.254.169.254",
	"169.254.169.253",
	"169.254.169.123",
	"169.254.170.2",
	"169.254.170.23",
	"169.254.42.42",
	"169.254.0.23",
	"100.100.100.200",
	"168.63.129.16",
	"192.0.0.192",
	"fd20:ce::254",
	"fe80::a9fe:a9fe",
	"fd00:42::42",
}

networks := {"fd00:ec2::/32"}
