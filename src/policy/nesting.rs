//! Refuses text that nests too deep, before Cedar's parser sees it.
//!
//! That parser calls itself for each bracket and each operator of a chain, and a stack that overflows takes the whole
//! process with it. A slip in a file that is reloaded must not do that.
//! Does not know: Cedar's grammar, beyond strings, comments, brackets and operators.

/// What one open bracket weighs against one operator of a chain: their shares of the stack.
const BRACKET: usize = 6;
/// The deepest that a thread of 2 MiB takes in a build without optimisation, with room to spare.
const MOST: usize = 120;

/// Where the text becomes too deep.
pub(super) fn too_deep(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    // Operators seen in each bracket that is open; the first level is the statement itself.
    let mut open = vec![0usize];
    let mut weight = 0;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let mut step = 1;
        match byte {
            b'"' => step = string(&bytes[at..]),
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                step = bytes[at..].iter().position(|b| *b == b'\n').unwrap_or(bytes.len() - at);
            }
            b'(' | b'[' | b'{' => {
                open.push(0);
                weight += BRACKET;
            }
            b')' | b']' | b'}' if open.len() > 1 => {
                weight -= BRACKET + open.pop().unwrap_or_default();
            }
            // Neighbours in a list don't nest in each other.
            b',' => weight -= open.last_mut().map(std::mem::take).unwrap_or_default(),
            b';' => {
                open = vec![0];
                weight = 0;
            }
            b'|' | b'&' | b'+' | b'-' | b'*' | b'.' | b'!' => {
                step = if bytes.get(at + 1) == Some(byte) { 2 } else { 1 };
                weight += count(&mut open);
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                let word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
                step = bytes[at..].iter().take_while(|b| word(b)).count();
                if &bytes[at..at + step] == b"if" {
                    weight += count(&mut open);
                }
            }
            _ => {}
        }
        if weight > MOST {
            return Some(at);
        }
        at += step;
    }
    None
}

fn count(open: &mut [usize]) -> usize {
    open.last_mut().map_or(0, |operators| {
        *operators += 1;
        1
    })
}

/// The length of a string with its quotes.
fn string(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn brackets_in_strings_and_comments_are_text() {
        let text = format!("// {0}\n@note(\"{0}\\\"{0}\") permit (principal, action, resource);", "(".repeat(200));
        assert_eq!(too_deep(&text), None);
    }

    #[test]
    fn long_lists_and_many_rules_are_not_deep() {
        let list = format!("forbid (p) when {{ a in [{}] }};", ["Program::\"A\"", "x.y"].repeat(500).join(", "));
        assert_eq!(too_deep(&list.repeat(50)), None);
    }

    #[test]
    fn the_place_of_the_first_excess_is_told() {
        assert_eq!(too_deep(&"(".repeat(500)), Some(MOST / BRACKET));
        assert_eq!(too_deep(&"!".repeat(500)), Some(2 * MOST));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[()\\[\\]{};,.\"\\\\/|&a-zé\n]{0,60}") {
            let _ = too_deep(&text);
        }
    }
}
