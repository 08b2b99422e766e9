package reference

import (
	"reflect"
	"strings"
)

// Columns turns a result struct into a map by the column names of its view. Counts become int64, figures float64, an undefined figure nil;
// strings and times stay what they are.
func Columns(result any) map[string]any {
	v := reflect.ValueOf(result)
	columns := map[string]any{}
	for _, f := range reflect.VisibleFields(v.Type()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			continue
		}
		value := v.FieldByIndex(f.Index)
		if value.Kind() == reflect.Pointer {
			if value.IsNil() {
				columns[name] = nil
				continue
			}
			value = value.Elem()
		}
		if value.CanInt() {
			columns[name] = value.Int()
		} else {
			columns[name] = value.Interface()
		}
	}
	return columns
}
