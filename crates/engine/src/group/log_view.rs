//! The device's log as a group sees it (R-GROUP-5).
