module github.com/libism/libism/bindings/go

go 1.19
