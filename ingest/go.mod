module github.com/dwiarah/dwiarah/ingest

go 1.26
