module example.com/http

go 1.19

require github.com/libism/libism/bindings/go v0.1.0

replace github.com/libism/libism/bindings/go => ../..
