//! Every kind Muster reads or writes, once.
