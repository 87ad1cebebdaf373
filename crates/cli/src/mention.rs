//! Whom a text names: every `@HANDLE` in it.

use chancery::{Client, Error, ErrorCode, Mention};

use crate::failure::Failure;

/// Returns where a text names these members, in the order of the text.
pub(crate) async fn all(client: &Client, text: &str, handles: &[String]) -> Result<Vec<Mention>, Failure> {
    let mut mentions = Vec::new();
    for handle in handles {
        let handle = handle.strip_prefix('@').unwrap_or(handle);
        let found = places(text, handle);
        if found.is_empty() {
            return Err(Error::with(ErrorCode::Usage, format!("the text has no @{handle}")).into());
        }
        let member = client.resolve(handle).await?.member_id;
        let length = handle.len().saturating_add(1);
        mentions.extend(found.into_iter().map(|start| Mention { start, length, member }));
    }
    mentions.sort_by_key(|mention| mention.start);
    mentions.dedup();
    Ok(mentions)
}

/// Returns where `@` and a handle stand in a text, in upper or lower case, as a word of their own: neither within an address nor
/// as the beginning of a longer handle.
pub(crate) fn places(text: &str, handle: &str) -> Vec<usize> {
    let is_here = |at: usize| {
        let (before, behind) = text.split_at_checked(at)?;
        let behind = behind.strip_prefix('@')?;
        let (name, rest) = behind.split_at_checked(handle.len())?;
        let mut rest = rest.chars();
        let continues =
            |letter: Option<char>| letter.is_some_and(|it| it.is_alphanumeric() || "_-".contains(it));
        let goes_on = match rest.next() {
            Some('.') => continues(rest.next()),
            letter => continues(letter),
        };
        let within = before.chars().next_back().is_some_and(char::is_alphanumeric);
        (!handle.is_empty() && name.eq_ignore_ascii_case(handle) && !goes_on && !within).then_some(at)
    };
    text.match_indices('@').filter_map(|(at, _)| is_here(at)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_named_as_a_word_of_its_own() {
        assert_eq!(places("@bob, ask @Bob. @bobby @bob.smith x@bob.org (@bob)", "bob"), [0, 10, 45]);
        assert_eq!(places("ünd @bob-ann @bob_x @bobé @bob", "bob"), [28]);
        assert_eq!(places("@bob.smith! @bob", "bob.smith"), [0]);
        assert_eq!(places("@ bob", "bob"), [0; 0]);
        assert_eq!(places("@é", "b"), [0; 0], "not in the middle of a character");
        assert_eq!(places("@", ""), [0; 0]);
    }
}
