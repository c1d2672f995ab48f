package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"sort"
	"strconv"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// Answer is what goes back: header, status and body.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

func newAnswer(status int, contentType, requestID string) *Answer {
	h := http.Header{}
	h.Set("Content-Type", contentType)
	h.Set("X-Amzn-Requestid", requestID)
	return &Answer{Status: status, Header: h}
}

// Encode makes the answer of an action from its output struct (a pointer).
func Encode(p Protocol, namespace, action, requestID string, out any) (*Answer, error) {
	v := reflect.ValueOf(out)
	for v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch p {
	case JSON:
		a := newAnswer(http.StatusOK, "application/x-amz-json-1.1", requestID)
		b, err := json.Marshal(tree(v, JSON))
		a.Body = b
		return a, err
	case CBOR:
		a := newAnswer(http.StatusOK, "application/cbor", requestID)
		a.Header.Set("Smithy-Protocol", "rpc-v2-cbor")
		b, err := cbor.Marshal(tree(v, CBOR))
		a.Body = b
		return a, err
	}
	a := newAnswer(http.StatusOK, "text/xml;charset=UTF-8", requestID)
	x := &xmlWriter{p: p}
	x.b.WriteString(xml.Header)
	open := func(name string) { fmt.Fprintf(&x.b, "<%s xmlns=%q>", name, namespace) }
	switch p {
	case EC2:
		open(action + "Response")
		x.leaf("requestId", requestID)
		x.members(v, a.Header)
		x.close(action + "Response")
	case Query:
		open(action + "Response")
		x.b.WriteString("<" + action + "Result>")
		x.members(v, a.Header)
		x.close(action + "Result")
		x.b.WriteString("<ResponseMetadata>")
		x.leaf("RequestId", requestID)
		x.close("ResponseMetadata")
		x.close(action + "Response")
	case RESTXML:
		open(action + "Response")
		x.members(v, a.Header)
		x.close(action + "Response")
	}
	a.Body = x.b.Bytes()
	return a, x.err
}

// EncodeError makes the answer of an action that failed. queryMode asks for the
// header that tells awsJson and CBOR clients the code of the older protocol.
func EncodeError(p Protocol, namespace, service, requestID string, e *Error, queryMode bool) *Answer {
	status := e.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	fault := "Sender"
	if status >= 500 {
		fault = "Receiver"
	}
	shape := e.Shape
	if shape == "" {
		shape = e.Code
	}
	var a *Answer
	switch p {
	case JSON:
		a = newAnswer(status, "application/x-amz-json-1.1", requestID)
		a.Body, _ = json.Marshal(map[string]any{"__type": shape, "message": e.Message})
		a.Header.Set("X-Amzn-Errortype", shape)
	case CBOR:
		a = newAnswer(status, "application/cbor", requestID)
		a.Header.Set("Smithy-Protocol", "rpc-v2-cbor")
		a.Body, _ = cbor.Marshal(map[string]any{"__type": "com.amazonaws." + service + "#" + shape, "message": e.Message})
	case EC2:
		a = newAnswer(status, "text/xml;charset=UTF-8", requestID)
		x := &xmlWriter{p: p}
		x.b.WriteString(xml.Header + "<Response><Errors><Error>")
		x.leaf("Code", e.Code)
		x.leaf("Message", e.Message)
		x.b.WriteString("</Error></Errors>")
		x.leaf("RequestID", requestID)
		x.close("Response")
		a.Body = x.b.Bytes()
	default:
		a = newAnswer(status, "text/xml;charset=UTF-8", requestID)
		x := &xmlWriter{p: p}
		fmt.Fprintf(&x.b, "%s<ErrorResponse xmlns=%q><Error>", xml.Header, namespace)
		x.leaf("Type", fault)
		x.leaf("Code", e.Code)
		x.leaf("Message", e.Message)
		x.close("Error")
		x.leaf("RequestId", requestID)
		x.close("ErrorResponse")
		a.Body = x.b.Bytes()
	}
	if queryMode || p == CBOR {
		a.Header.Set("X-Amzn-Query-Error", e.Code+";"+fault)
	}
	return a
}

// Time is how Query, EC2 and RESTXML write a time.
func Time(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

type xmlWriter struct {
	b   bytes.Buffer
	p   Protocol
	err error
}

func (x *xmlWriter) close(name string) { x.b.WriteString("</" + name + ">") }

func (x *xmlWriter) leaf(name, text string) {
	x.b.WriteString("<" + name + ">")
	if err := xml.EscapeText(&x.b, []byte(text)); err != nil && x.err == nil {
		x.err = err
	}
	x.close(name)
}

func (x *xmlWriter) members(v reflect.Value, header http.Header) {
	if !v.IsValid() || v.Kind() != reflect.Struct {
		return
	}
	for _, f := range fieldsOf(v.Type()) {
		name := f.name
		if x.p == EC2 {
			name = lowerFirst(name)
		}
		fv := v.FieldByIndex(f.index)
		if f.header {
			if s, ok := plain(fv); ok && s != "" && header != nil {
				header.Set(f.name, s)
			}
			continue
		}
		x.member(name, fv, f)
	}
}

func (x *xmlWriter) member(name string, v reflect.Value, f field) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return
		}
		v = v.Elem()
		f.empty = true
	}
	if s, ok := plain(v); ok {
		if s != "" || f.empty {
			x.leaf(name, s)
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		if v.IsZero() && !f.empty {
			return
		}
		x.b.WriteString("<" + name + ">")
		x.members(v, nil)
		x.close(name)
	case reflect.Slice:
		item := f.item
		if item == "" {
			item = "member"
			if x.p == EC2 {
				item = "item"
			}
		}
		if f.flat {
			item = name
		} else {
			x.b.WriteString("<" + name + ">")
		}
		for k := range v.Len() {
			x.member(item, v.Index(k), field{empty: true})
		}
		if !f.flat {
			x.close(name)
		}
	case reflect.Map:
		x.b.WriteString("<" + name + ">")
		for _, k := range sortedKeys(v) {
			x.b.WriteString("<entry>")
			x.leaf("key", k.String())
			x.member("value", v.MapIndex(k), field{empty: true})
			x.b.WriteString("</entry>")
		}
		x.close(name)
	default:
		x.err = fmt.Errorf("field %s has kind %s, which XML does not carry", name, v.Kind())
	}
}

func sortedKeys(v reflect.Value) []reflect.Value {
	keys := v.MapKeys()
	sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
	return keys
}

// plain is the text of a scalar; a zero time and an empty string are "".
func plain(v reflect.Value) (string, bool) {
	if !v.IsValid() {
		return "", true
	}
	if v.Type() == timeType {
		t := v.Interface().(time.Time)
		if t.IsZero() {
			return "", true
		}
		return Time(t), true
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return "", true
		}
		return plain(v.Elem())
	case reflect.String:
		return v.String(), true
	case reflect.Bool:
		return strconv.FormatBool(v.Bool()), true
	case reflect.Int, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10), true
	case reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'f', -1, 64), true
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return base64.StdEncoding.EncodeToString(v.Bytes()), true
		}
	}
	return "", false
}

// tree turns an output into maps and lists for JSON and CBOR.
func tree(v reflect.Value, p Protocol) any {
	if !v.IsValid() {
		return map[string]any{}
	}
	if v.Type() == timeType {
		t := v.Interface().(time.Time)
		seconds := float64(t.UnixMilli()) / 1000
		if p == CBOR {
			return cbor.Tag{Number: 1, Content: seconds}
		}
		return json.Number(strconv.FormatFloat(seconds, 'f', -1, 64))
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return tree(v.Elem(), p)
	case reflect.Struct:
		m := map[string]any{}
		for _, f := range fieldsOf(v.Type()) {
			fv := v.FieldByIndex(f.index)
			switch fv.Kind() {
			case reflect.Slice: // an empty list is a list, except for bytes
				if fv.IsNil() && fv.Type().Elem().Kind() == reflect.Uint8 {
					continue
				}
			case reflect.Pointer, reflect.Interface, reflect.Map:
				if fv.IsNil() {
					continue
				}
			case reflect.String, reflect.Struct:
				if fv.IsZero() && !f.empty {
					continue
				}
			default:
			}
			m[f.name] = tree(fv, p)
		}
		return m
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			if p == CBOR {
				return v.Bytes()
			}
			return base64.StdEncoding.EncodeToString(v.Bytes())
		}
		list := make([]any, v.Len())
		for k := range list {
			list[k] = tree(v.Index(k), p)
		}
		return list
	case reflect.Map:
		m := map[string]any{}
		for _, k := range v.MapKeys() {
			m[k.String()] = tree(v.MapIndex(k), p)
		}
		return m
	case reflect.Float64:
		if f := v.Float(); p == JSON && f == math.Trunc(f) && math.Abs(f) < 1e15 {
			return json.Number(strconv.FormatFloat(f, 'f', 1, 64)) // 3.0: a client that sees 3 takes it for an integer
		}
		return v.Interface()
	default:
		return v.Interface()
	}
}
