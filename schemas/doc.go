// Package schemas is the contract between the services: the message as sources and archives give it, the topics, and the closed sets of
// names that everything else counts by. The wire form is package event, the tables and views are package clickhouse.
package schemas
