//! The relay against clients that are good, bad and late, on a storage in memory.

mod blobs;
mod credentials;
mod delivery;
mod documents;
mod doubt;
mod ends;
mod log;
mod login;
mod mailboxes;
mod prekeys;
mod sets;
mod slots;
mod witnesses;
mod world;
