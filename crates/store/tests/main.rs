//! The store from outside: its files, several processes, crashes, full disks, and files of old versions.

#[cfg(test)]
mod scenarios {
    mod common;
    mod disk;
    mod files;
    mod golden;
    mod processes;
}
