//! What waits for a commit, a credential, the log or a file.
