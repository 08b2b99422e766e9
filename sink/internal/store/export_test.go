package store

// CodeNames returns the names in the table of codes, for a comparison with the engine's own.
func CodeNames() map[int32]string {
	names := map[int32]string{}
	for code, c := range codes {
		names[code] = c.name
	}
	return names
}
