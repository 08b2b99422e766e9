// Package enrich gives public messages their labels: language, sentiment, reputation risk with severity, toxicity, content function and need of
// reply. Classifier answers for one text; Service does it between two Kafka topics; cmd/enrich is both, and trains and measures the model.
// What this package does not export is internal.
package enrich
