//! Following commits (R-GROUP-5, -15, -21).
