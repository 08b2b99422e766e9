module github.com/dwiarah/dwiarah/sink

go 1.26
