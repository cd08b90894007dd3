//! What Kubernetes asks of lists, and lists taken as sets.

use std::cmp::Ordering;
use std::collections::HashSet;

use cel::common::types::{CelDouble, CelDuration, CelInt, CelUInt, LIST_TYPE};
use cel::common::value::{CowVal, Val};
use cel::{DeclarationError, Env, ExecutionError};

use super::{ANY, answer, failed, number, yes};
use crate::schema::cel::lists::{canonical, elements, equals};

pub(super) fn register(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_member_overload("isSorted", "list_is_sorted", LIST_TYPE, vec![], |arguments| {
        let list = gather(&arguments, 0)?;
        for pair in list.windows(2) {
            if compare(pair[0].as_ref(), pair[1].as_ref())? == Ordering::Greater {
                return yes(false);
            }
        }
        yes(true)
    })?;
    env.add_member_overload("sum", "list_sum", LIST_TYPE, vec![], |arguments| sum(&gather(&arguments, 0)?))?;
    env.add_member_overload("min", "list_min", LIST_TYPE, vec![], |arguments| {
        extreme(gather(&arguments, 0)?, "min", Ordering::Less)
    })?;
    env.add_member_overload("max", "list_max", LIST_TYPE, vec![], |arguments| {
        extreme(gather(&arguments, 0)?, "max", Ordering::Greater)
    })?;
    env.add_member_overload("indexOf", "list_index_of", LIST_TYPE, vec![ANY], |arguments| {
        let list = gather(&arguments, 0)?;
        place(list.iter().position(|element| equals(element.as_ref(), arguments[1].as_ref())))
    })?;
    env.add_member_overload("lastIndexOf", "list_last_index_of", LIST_TYPE, vec![ANY], |arguments| {
        let list = gather(&arguments, 0)?;
        place(list.iter().rposition(|element| equals(element.as_ref(), arguments[1].as_ref())))
    })?;
    let two = || vec![LIST_TYPE, LIST_TYPE];
    env.add_overload("sets.contains", "sets_contains", two(), |arguments| {
        let (all, some) = (as_set(&arguments, 0)?, as_set(&arguments, 1)?);
        yes(some.is_subset(&all))
    })?;
    env.add_overload("sets.equivalent", "sets_equivalent", two(), |arguments| {
        yes(as_set(&arguments, 0)? == as_set(&arguments, 1)?)
    })?;
    env.add_overload("sets.intersects", "sets_intersects", two(), |arguments| {
        let (one, other) = (as_set(&arguments, 0)?, as_set(&arguments, 1)?);
        yes(!one.is_disjoint(&other))
    })
}

fn gather<'v>(arguments: &[CowVal<'_, 'v>], at: usize) -> Result<Vec<Box<dyn Val + 'v>>, ExecutionError> {
    let list = arguments.get(at).ok_or(ExecutionError::MissingArgumentOrTarget)?;
    let (mut list, mut gathered) = (elements(list.as_ref())?, Vec::new());
    while let Some(element) = list.next() {
        gathered.push(element.clone_as_boxed());
    }
    Ok(gathered)
}

fn as_set(arguments: &[CowVal<'_, '_>], at: usize) -> Result<HashSet<String>, ExecutionError> {
    Ok(gather(arguments, at)?.iter().map(|element| canonical(element.as_ref())).collect())
}

fn place<'b, 'v>(at: Option<usize>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    number(at.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1))
}

fn compare(one: &dyn Val, other: &dyn Val) -> Result<Ordering, ExecutionError> {
    let overload = || ExecutionError::no_such_overload("_<_", vec![one.get_type().name().into()]);
    one.as_comparer().ok_or_else(overload)?.compare(other)
}

fn extreme<'b, 'v>(
    list: Vec<Box<dyn Val + 'v>>,
    function: &str,
    wanted: Ordering,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let mut best: Option<Box<dyn Val + 'v>> = None;
    for element in list {
        let better = match &best {
            Some(best) => compare(element.as_ref(), best.as_ref())? == wanted,
            None => true,
        };
        if better {
            best = Some(element);
        }
    }
    best.map(CowVal::Owned).ok_or_else(|| failed(function, format!("{function} called on empty list")))
}

/// The sum of numbers of one kind; of none it is nought.
fn sum<'b, 'v>(list: &[Box<dyn Val + 'v>]) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let overflow = || failed("sum", "integer overflow");
    let Some(first) = list.first() else { return number(0) };
    if first.downcast_ref::<CelInt>().is_some() {
        let total = list
            .iter()
            .filter_map(|n| n.downcast_ref::<CelInt>())
            .try_fold(0_i64, |t, n| t.checked_add(*n.inner()));
        return answer(CelInt::from(total.ok_or_else(overflow)?));
    }
    if first.downcast_ref::<CelUInt>().is_some() {
        let total = list
            .iter()
            .filter_map(|n| n.downcast_ref::<CelUInt>())
            .try_fold(0_u64, |t, n| t.checked_add(*n.inner()));
        return answer(CelUInt::from(total.ok_or_else(overflow)?));
    }
    if first.downcast_ref::<CelDouble>().is_some() {
        return answer(CelDouble::from(
            list.iter().filter_map(|n| n.downcast_ref::<CelDouble>()).map(|n| *n.inner()).sum::<f64>(),
        ));
    }
    let mut durations = list.iter().filter_map(|n| n.downcast_ref::<CelDuration>()).map(|n| *n.inner());
    let Some(mut total) = durations.next() else {
        return Err(ExecutionError::no_such_member_overload("sum", vec!["list".into()]));
    };
    for duration in durations {
        total = total.checked_add(&duration).ok_or_else(|| failed("sum", "duration overflow"))?;
    }
    answer(CelDuration::from(total))
}
