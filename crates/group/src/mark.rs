//! Marks: by which members notice over their sessions that the relay shows them different groups (R-GROUP-27).

use chancery_wire::proto;

use crate::{GroupError, Head};

/// What another member's mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It is in the same epoch: one history, one secret.
    Same,
    /// It is in another epoch of the same number: the group is forked. Stop sending, tell the user.
    Forked,
    /// It is in a later epoch: a commit is on its way or withheld. Get it; from a minute on, send nothing before it is there.
    Behind,
    /// It is in an earlier epoch, of which nothing is known any more. Answer with a mark, so that it looks.
    Ahead,
}

/// Returns the mark of the epoch that a device is in.
#[must_use]
pub fn mark(head: &Head) -> proto::GroupMark {
    proto::GroupMark { epoch: head.epoch, transcript: head.transcript.clone() }
}

/// Judges a mark that came over a session. The caller has checked that its device is in the roster.
///
/// # Errors
///
/// [`GroupError::Malformed`]: drop it.
pub fn judge_mark(head: &Head, mark: &proto::GroupMark) -> Result<Mark, GroupError> {
    if mark.transcript.len() != 32 || !(1..=crate::limit::MAX_EPOCH).contains(&mark.epoch) {
        return Err(GroupError::Malformed);
    }
    Ok(match mark.epoch.cmp(&head.epoch) {
        core::cmp::Ordering::Greater => Mark::Behind,
        core::cmp::Ordering::Less => Mark::Ahead,
        core::cmp::Ordering::Equal if mark.transcript == head.transcript => Mark::Same,
        core::cmp::Ordering::Equal => Mark::Forked,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_tells_a_fork_from_what_is_late_r_group_27() {
        let at = |epoch: u64, name: u8| Head { epoch, transcript: [name; 32].to_vec(), ..Head::default() };
        let own = at(5, 1);
        for (other, expected) in [
            (at(5, 1), Mark::Same),
            (at(5, 2), Mark::Forked),
            (at(6, 2), Mark::Behind),
            (at(crate::limit::MAX_EPOCH, 2), Mark::Behind),
            (at(4, 2), Mark::Ahead),
        ] {
            assert_eq!(judge_mark(&own, &mark(&other)), Ok(expected));
        }
        let mut short = mark(&own);
        short.transcript.pop();
        for bad in [short, mark(&at(0, 1)), mark(&at(u64::MAX, 1)), mark(&Head::default())] {
            assert_eq!(judge_mark(&own, &bad), Err(GroupError::Malformed));
        }
    }
}
