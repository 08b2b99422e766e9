// Package scale measures the store at a size that tests do not reach: make bench-metrics.
package scale
