package hearth

import "strings"

// Nearest is what somebody probably meant: the candidate that differs least from word, "" when none is near enough
// to be a slip of the fingers or one word inside the other (memorysize, memory). Of
// candidates equally near the first wins.
func Nearest(word string, candidates []string) string {
	if len(word) < 2 || len(word) > 100 {
		return ""
	}
	lower := strings.ToLower(word)
	best, least := "", 2+min(2, len(word)/4)
	for _, c := range candidates {
		if d := distance(lower, strings.ToLower(c)); d < least && d < len(c) {
			best, least = c, d
		}
	}
	if best != "" {
		return best
	}
	for _, c := range candidates {
		inside := strings.ToLower(c)
		if min(len(inside), len(lower)) >= 4 && (strings.Contains(inside, lower) || strings.Contains(lower, inside)) {
			return c
		}
	}
	return ""
}

// Hint is a "did you mean" to append to a sentence, or "".
func Hint(word string, candidates []string) string {
	if m := Nearest(word, candidates); m != "" {
		return ` (did you mean "` + m + `"?)`
	}
	return ""
}

// distance counts the insertions, deletions, replacements and swaps of neighbours
// that make a into b (optimal string alignment).
func distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	before, last := make([]int, len(t)+1), make([]int, len(t)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(s); i++ {
		row := make([]int, len(t)+1)
		row[0] = i
		for j := 1; j <= len(t); j++ {
			cost := 1
			if s[i-1] == t[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && s[i-1] == t[j-2] && s[i-2] == t[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(t)]
}
