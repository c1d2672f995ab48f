package wire

import (
	"reflect"
	"strings"
	"sync"
)

// Protocol is one way of speaking to a service.
type Protocol int

// The protocols.
const (
	Query   Protocol = iota // awsQuery: form in, XML out
	EC2                     // ec2Query: form in, XML out, lists flattened
	RESTXML                 // rest-xml: method and path, XML both ways
	JSON                    // awsJson 1.0 and 1.1
	CBOR                    // smithy rpcv2Cbor
)

func (p Protocol) String() string {
	return [...]string{"awsQuery", "ec2Query", "rest-xml", "awsJson", "rpcv2Cbor"}[p]
}

type field struct {
	index  []int
	goName string
	name   string
	item   string
	flat   bool
	empty  bool
	header bool
	query  bool
}

var fieldCache sync.Map // reflect.Type -> []field

func fieldsOf(t reflect.Type) []field {
	if f, ok := fieldCache.Load(t); ok {
		return f.([]field)
	}
	var list []field
	for k := range t.NumField() {
		sf := t.Field(k)
		if sf.Anonymous && sf.Type.Kind() == reflect.Struct {
			for _, f := range fieldsOf(sf.Type) {
				f.index = append([]int{k}, f.index...)
				list = append(list, f)
			}
			continue
		}
		if !sf.IsExported() || sf.Tag.Get("wire") == "-" {
			continue
		}
		f := field{index: []int{k}, goName: sf.Name, name: sf.Name}
		for n, part := range strings.Split(sf.Tag.Get("wire"), ",") {
			switch {
			case n == 0:
				if part != "" {
					f.name = part
				}
			case part == "flat":
				f.flat = true
			case part == "empty":
				f.empty = true
			case part == "header":
				f.header = true
			case part == "query":
				f.query = true
			case strings.HasPrefix(part, "item="):
				f.item = part[len("item="):]
			default:
				panic("wire: tag of " + t.String() + "." + sf.Name + " has unknown option " + part)
			}
		}
		list = append(list, f)
	}
	fieldCache.Store(t, list)
	return list
}

func lowerFirst(s string) string {
	if s == "" || s[0] < 'A' || s[0] > 'Z' {
		return s
	}
	return string(s[0]+'a'-'A') + s[1:]
}
