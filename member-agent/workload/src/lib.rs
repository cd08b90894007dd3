//! Pure GameStatefulSet planner.
