//! Coming into a group by a welcome (R-GROUP-26).
