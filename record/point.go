package record

// Tag is one string key and value of a point.
type Tag struct{ Key, Value string }

// Field is one typed value of a point: int64, uint64, float64, bool or string.
type Field struct {
	Key   string
	Value any
	// Unit as declared in the struct tag; "" when there is none.
	Unit string
}

// Point is a record in its flat outgoing form, which every encoder takes.
// Tags and Fields are in declaration order, global tags last.
type Point struct {
	Name     string
	Time     int64 // Unix nanoseconds
	Category Category
	Tags     []Tag
	Fields   []Field
}
