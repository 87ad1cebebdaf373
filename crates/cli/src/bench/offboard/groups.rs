//! The groups of `chancery bench offboard`: the leaver is in all of them, and their only administrator is offline.

use std::time::Duration;

use crate::bench::company::{Company, is_sent};
use crate::process::{Failure, Running, field, within};

/// What is written in each group behind the copy of the disk and before the end: the control.
pub(super) const BEFORE: &str = "said in the group before the end";
const AFTER: &str = "said in the group after the end";
/// Time until everybody online has followed the commits that have the leaver out.
const CUT: Duration = Duration::from_secs(120);

/// The groups, and who is in each.
#[derive(Debug)]
pub(super) struct Groups {
    groups: Vec<Group>,
    leaver: usize,
}

#[derive(Debug)]
struct Group {
    id: String,
    /// The only administrator, who is offline.
    administrator: usize,
    /// The others but the leaver.
    others: Vec<usize>,
}

impl Groups {
    /// `others` are all members but the leaver, who is behind the last of them; that one is offline.
    pub(super) fn new(count: usize, others: &[usize], leaver: usize) -> Self {
        let administrator = others.last().copied().unwrap_or_default();
        let group = |number: usize| {
            // Two neighbours, one of them online, go together.
            let is_in = |member: &usize| {
                let pair = leaver.saturating_sub(*member) / 2;
                pair.checked_rem(count) == Some(number) || others.len() < count.saturating_mul(4)
            };
            let rest = others.iter().copied().filter(|member| *member != administrator && is_in(member));
            Group { id: String::new(), administrator, others: rest.collect() }
        };
        Self { groups: (0..count).map(group).collect(), leaver }
    }

    pub(super) const fn count(&self) -> usize {
        self.groups.len()
    }

    /// Founds them, and lets everybody write once, so that all know each other, and read all.
    pub(super) async fn found(&mut self, company: &Company) -> Result<(), Failure> {
        for (number, group) in self.groups.iter_mut().enumerate() {
            let members = [&[group.administrator], group.others.as_slice(), &[self.leaver]].concat();
            group.id = company.found_group(&format!("group {number}"), &members).await?;
            company.receive(&members).await?;
            let letters: Vec<_> = members.iter().map(|from| (*from, group.id.as_str())).collect();
            surely(&company.send_to_groups(&letters, "good morning", true).await?)?;
            company.receive(&members).await?;
        }
        Ok(())
    }

    /// Somebody writes in each group what the copied disk can read: not the administrator, in whose mailbox all of it stays to be
    /// searched, because whoever writes reads the own mailbox first.
    pub(super) async fn write_before(&self, company: &Company) -> Result<(), Failure> {
        let writer = |it: &Group| it.others.first().copied().unwrap_or(it.administrator);
        let letters: Vec<_> = self.groups.iter().map(|it| (writer(it), it.id.as_str())).collect();
        surely(&company.send_to_groups(&letters, BEFORE, false).await?)
    }

    /// Somebody who is online, and no administrator, writes in each group, and everybody online follows that.
    pub(super) async fn evict(
        &self,
        company: &Company,
        (numbers, followers): (&[usize], &mut [Running]),
    ) -> Result<(), Failure> {
        let mut letters = Vec::with_capacity(self.groups.len());
        for (number, group) in self.groups.iter().enumerate() {
            let online: Vec<usize> =
                group.others.iter().copied().filter(|member| numbers.contains(member)).collect();
            // Not the same in every group, where there are others.
            let writer = number.checked_rem(online.len()).and_then(|at| online.get(at));
            letters.extend(writer.map(|writer| (*writer, group.id.as_str())));
        }
        surely(&company.send_to_groups(&letters, AFTER, true).await?)?;
        let deadline = within(CUT);
        for (number, follower) in numbers.iter().zip(followers) {
            let mut waits = self.groups.iter().filter(|it| it.others.contains(number)).count();
            while waits > 0 {
                follower.line_with(|line| *field(line, "act") == "evicted", deadline).await?;
                waits = waits.saturating_sub(1);
            }
        }
        Ok(())
    }

    /// Everybody who is left writes but the administrator, in whose mailbox all of it stays to be searched; returns how many
    /// messages the relay took.
    pub(super) async fn write_after(
        &self,
        company: &Company,
        missing: &mut Vec<String>,
    ) -> Result<usize, Failure> {
        let mut sent = 0_usize;
        for group in &self.groups {
            let members = &group.others;
            let letters: Vec<_> = members.iter().map(|from| (*from, group.id.as_str())).collect();
            for (finished, from) in company.send_to_groups(&letters, AFTER, true).await?.iter().zip(members) {
                if is_sent(finished) {
                    sent = sent.saturating_add(1);
                } else {
                    let (code, error) = (finished.code, &finished.error);
                    missing.push(format!("member {from} could not write to a group: {code} {error}"));
                }
            }
        }
        // Of each group the message that had the leaver out.
        Ok(sent.saturating_add(self.groups.len()))
    }
}

fn surely(all: &[crate::process::Finished]) -> Result<(), Failure> {
    match all.iter().find(|finished| !is_sent(finished)) {
        None => Ok(()),
        Some(finished) => {
            let (code, error) = (finished.code, &finished.error);
            Err(Failure::new(format!("nothing was sent to a group: {code} {error}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_in_a_group_with_somebody_online_and_the_administrator_is_not() {
        for members in 3..=60_usize {
            let (leaver, others) = (members - 1, (0..members - 1).collect::<Vec<_>>());
            let groups = Groups::new(3, &others, leaver);
            assert_eq!(groups.count(), 3);
            for group in &groups.groups {
                assert!((leaver - group.administrator) % 2 == 1, "offline");
                assert!(
                    group.others.iter().any(|it| (leaver - it).is_multiple_of(2)),
                    "{members}: {group:?}"
                );
            }
            let inside = |it: &usize| {
                groups.groups.iter().any(|group| group.others.contains(it) || group.administrator == *it)
            };
            assert!(others.iter().all(inside));
        }
        assert_eq!(Groups::new(0, &[0, 1], 2).count(), 0);
    }
}
