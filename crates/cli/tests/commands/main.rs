//! The `chancery` command as people and scripts use it: processes, exit codes, and what they print.

#[cfg(test)]
mod acting;
#[cfg(test)]
mod authority;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod confirmations;
#[cfg(test)]
mod conversation;
#[cfg(test)]
mod devices;
#[cfg(test)]
mod guests;
#[cfg(test)]
mod invite_list;
#[cfg(test)]
mod listing;
#[cfg(test)]
mod obstacles;
#[cfg(test)]
mod offboarding;
#[cfg(test)]
mod receipts;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod restored;
#[cfg(test)]
mod root;
#[cfg(test)]
mod serving;
#[cfg(test)]
mod support;
#[cfg(test)]
mod witness;
