//! Devices that the log has ended and that are in the roster still (R-GROUP-20).
