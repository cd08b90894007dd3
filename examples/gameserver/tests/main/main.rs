//! The program as a pod runs it.

#[cfg(test)]
mod process;
