//! Measurements of Chancery; see the files beside this folder.
