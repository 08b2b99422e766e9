module github.com/dwiarah/dwiarah/enrich

go 1.26.0

require (
	github.com/alecthomas/kong v1.17.0
	go.yaml.in/yaml/v3 v3.0.6
	golang.org/x/text v0.43.0
)
