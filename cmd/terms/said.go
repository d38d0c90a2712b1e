package terms

import (
	"fmt"
	"reflect"
	"strings"

	"sallyport/config"
)

// said is a part of a configuration as one text, without places: two parts that
// say the same have the same.
func said(v any) string {
	var b strings.Builder
	write(&b, reflect.ValueOf(v))
	return b.String()
}

func write(b *strings.Builder, v reflect.Value) {
	switch x := v.Interface().(type) {
	case config.Pos:
		return
	case config.Text:
		fmt.Fprintf(b, "%q ", x.S)
		return
	case config.Number:
		fmt.Fprint(b, x.N, x.Set, " ")
		return
	case config.Bool:
		fmt.Fprint(b, x.B, " ")
		return
	case config.Duration:
		fmt.Fprint(b, x.D, " ")
		return
	case config.Size:
		fmt.Fprint(b, x.N, " ")
		return
	}
	switch v.Kind() {
	case reflect.Slice:
		fmt.Fprintf(b, "[%d ", v.Len())
		for i := range v.Len() {
			write(b, v.Index(i))
		}
		b.WriteString("] ")
	case reflect.Struct:
		b.WriteString("{")
		for i := range v.NumField() {
			write(b, v.Field(i))
		}
		b.WriteString("} ")
	default:
		panic("a configuration has no " + v.Type().String())
	}
}
