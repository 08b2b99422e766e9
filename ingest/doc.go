// Package ingest brings public messages into Kafka: from platforms that it polls, and from archives that it imports. What this package does not
// export is internal; the command is cmd/ingest, and the standalone composes the same parts.
package ingest
