package style

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// A program whose state hangs off package variables cannot be run twice in a
// test, and what init does nobody sees: parts are listed, not registered.
func TestNoPackageState(t *testing.T) {
	for name, text := range sources(t, ".go") {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, text, parser.ParseComments)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, complaint := range packageState(fset, file) {
			t.Error(complaint)
		}
	}
}

// packageState names every init function and every package variable that is
// not plainly a constant for which Go has no const.
func packageState(fset *token.FileSet, file *ast.File) []string {
	var found []string
	complain := func(n ast.Node, what string) { found = append(found, fset.Position(n.Pos()).String()+": "+what) }
	written := writes(file)
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.Name == "init" && d.Recv == nil {
				complain(d, "init function")
			}
		case *ast.GenDecl:
			if d.Tok == token.VAR {
				for _, name := range variables(d, written) {
					complain(name, "package variable "+name.Name+" may change")
				}
			}
		}
	}
	return found
}

// variables returns those of the declaration that may change.
func variables(d *ast.GenDecl, written []string) []*ast.Ident {
	var found []*ast.Ident
	for _, s := range d.Specs {
		spec := s.(*ast.ValueSpec)
		if setFromOutside(d.Doc) || setFromOutside(spec.Doc) {
			continue
		}
		for i, name := range spec.Names {
			fixed := i < len(spec.Values) && constant(spec.Values[i]) && !slices.Contains(written, name.Name)
			if name.Name != "_" && !fixed {
				found = append(found, name)
			}
		}
	}
	return found
}

// setFromOutside tells whether the compiler or the linker gives the value.
func setFromOutside(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool {
		return strings.HasPrefix(c.Text, "//go:embed") || strings.Contains(c.Text, "-ldflags")
	})
}

// constant tells whether the value is a literal or made by a function whose
// result does not change.
func constant(e ast.Expr) bool {
	switch v := e.(type) {
	case *ast.BasicLit:
		return true
	case *ast.CompositeLit:
		of, ok := v.Type.(*ast.SelectorExpr)
		return !ok || !slices.Contains([]string{"sync", "atomic"}, of.X.(*ast.Ident).Name)
	case *ast.CallExpr:
		return slices.Contains([]string{
			"errors.New", "fmt.Errorf", "regexp.MustCompile", "template.Must", "[]byte",
			"netip.MustParseAddr", "netip.MustParsePrefix", "strings.NewReplacer",
		}, called(v))
	}
	return false
}

func called(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok {
			return x.Name + "." + f.Sel.Name
		}
	case *ast.ArrayType:
		if of, ok := f.Elt.(*ast.Ident); ok {
			return "[]" + of.Name
		}
	}
	return ""
}

// writes lists the names that the file assigns to, in whole or in part, or
// takes the address of. It does not know scopes: a local variable should not
// hide a package's anyway.
func writes(file *ast.File) []string {
	var names []string
	add := func(e ast.Expr) {
		if id := rootOf(e); id != nil {
			names = append(names, id.Name)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch s := n.(type) {
		case *ast.AssignStmt:
			if s.Tok != token.DEFINE {
				for _, e := range s.Lhs {
					add(e)
				}
			}
		case *ast.IncDecStmt:
			add(s.X)
		case *ast.UnaryExpr:
			if s.Op == token.AND {
				add(s.X)
			}
		case *ast.CallExpr:
			if id, ok := s.Fun.(*ast.Ident); ok && (id.Name == "delete" || id.Name == "clear") {
				add(s.Args[0])
			}
		}
		return true
	})
	return names
}

// rootOf returns the variable in x, x.f, x[i] and *x.
func rootOf(e ast.Expr) *ast.Ident {
	switch v := e.(type) {
	case *ast.Ident:
		return v
	case *ast.SelectorExpr:
		return rootOf(v.X)
	case *ast.IndexExpr:
		return rootOf(v.X)
	case *ast.StarExpr:
		return rootOf(v.X)
	case *ast.ParenExpr:
		return rootOf(v.X)
	}
	return nil
}

// The rule itself, on a source that breaks it in every way.
func TestPackageStateFindsThem(t *testing.T) {
	const bad = `package p
var (
	counter int
	table   = map[string]int{"a": 1}
	lock    = sync.Mutex{}
	now     = time.Now
	made    = make(map[string]int)
)
var good, fine = errors.New("x"), [...]string{"a"}
var version = "dev"
//go:embed page.html
var page string
var _ I = (*T)(nil)
func init() {}
func f() { table["b"] = 2 }
`
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "p.go", bad, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	found := packageState(fset, file)
	for _, want := range []string{"counter", "table", "lock", "now", "made", "init"} {
		if !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, want) }) {
			t.Errorf("%s not found", want)
		}
	}
	if len(found) != 6 {
		t.Errorf("found %q", found)
	}
}
