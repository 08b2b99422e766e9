// Package scale measures the store at a size that tests do not reach: make bench-metrics and make bench-deletion.
package scale
