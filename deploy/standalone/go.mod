module github.com/dwiarah/dwiarah/deploy/standalone

go 1.26
