package risk

import "math"

// Tone is what the probability of a tag is multiplied by in a text that is negative with a probability: questions and praise share their words with complaints (the
// officer, the counter, the wait), so as far as a text is not negative, it raises no risk.
func Tone(negative float64) float64 { return math.Sqrt(negative) }
