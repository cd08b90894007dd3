//! Lists whose elements have identities: sets and list maps. Their order does not matter when they are compared, and
//! adding to them merges.

use std::collections::HashMap;
use std::sync::Arc;

use cel::ExecutionError;
use cel::common::traits::{self, Adder, Container, Indexer, Iterable, Sizer, Zeroer};
use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelNull, CelString, CelUInt, LIST_TYPE,
    Type as CelTy,
};
use cel::common::value::{CowVal, StaticVal, Val};

/// A set, or a list map with the names of its keys.
#[derive(Debug, Clone)]
pub(super) struct KeyedList {
    list: CelList<'static>,
    keys: Option<Arc<[String]>>,
}

impl KeyedList {
    pub(super) fn set(elements: Vec<Box<dyn Val>>) -> Self {
        Self { list: CelList::from(elements), keys: None }
    }

    pub(super) fn map(elements: Vec<Box<dyn Val>>, keys: Vec<String>) -> Self {
        Self { list: CelList::from(elements), keys: Some(keys.into()) }
    }

    /// What tells an element apart from others.
    fn key(&self, element: &dyn Val) -> String {
        let Some(keys) = &self.keys else { return canonical(element) };
        let Some(fields) = element.downcast_ref::<CelMap>() else { return canonical(element) };
        let field = |key: &String| fields.inner().iter().find(|(name, _)| text(name.inner()) == Some(key));
        let parts =
            keys.iter().map(|key| field(key).map(|(_, value)| canonical(value.as_ref())).unwrap_or_default());
        parts.collect::<Vec<_>>().join("\0")
    }

    /// The elements of any list by their identities in this one.
    fn by_key<'a>(&self, list: &'a dyn Val) -> Option<HashMap<String, &'a dyn Val>> {
        let mut elements = list.as_iterable()?.iter();
        let mut found = HashMap::new();
        while let Some(element) = elements.next() {
            found.insert(self.key(element), element);
        }
        Some(found)
    }
}

/// Equality that asks the list which order matters to, on whichever side it stands.
pub(super) fn equals(one: &dyn Val, other: &dyn Val) -> bool {
    if other.downcast_ref::<KeyedList>().is_some() { other.equals(one) } else { one.equals(other) }
}

fn text(value: &dyn Val) -> Option<&str> {
    value.downcast_ref::<CelString>().map(CelString::inner)
}

/// The same text for values that are equal.
pub(super) fn canonical(value: &dyn Val) -> String {
    if let Some(text) = text(value) {
        return format!("{text:?}");
    }
    if let Some(n) = value.downcast_ref::<CelInt>() {
        return n.inner().to_string();
    }
    if let Some(n) = value.downcast_ref::<CelUInt>() {
        return n.inner().to_string();
    }
    if let Some(n) = value.downcast_ref::<CelDouble>() {
        return n.inner().to_string();
    }
    if let Some(flag) = value.downcast_ref::<CelBool>() {
        return flag.inner().to_string();
    }
    if let Some(bytes) = value.downcast_ref::<CelBytes>() {
        return format!("b{:?}", bytes.inner());
    }
    if value.downcast_ref::<CelNull>().is_some() {
        return "null".to_owned();
    }
    if let Some(map) = value.downcast_ref::<CelMap>() {
        let entries = map.inner().iter();
        let mut entries: Vec<String> = entries
            .map(|(key, value)| format!("{}:{}", canonical(key.inner()), canonical(value.as_ref())))
            .collect();
        entries.sort();
        return format!("{{{}}}", entries.join(","));
    }
    if let Some(list) = value.as_iterable() {
        let (mut elements, mut shown) = (list.iter(), Vec::new());
        while let Some(element) = elements.next() {
            shown.push(canonical(element));
        }
        return format!("[{}]", shown.join(","));
    }
    format!("{value:?}")
}

impl Val for KeyedList {
    fn get_type(&self) -> &CelTy {
        Self::cel_type()
    }

    fn cel_type() -> &'static CelTy {
        &LIST_TYPE
    }

    fn as_adder<'b, 'v>(&'b self) -> Option<&'b (dyn Adder + 'v)> {
        Some(self)
    }

    fn as_container(&self) -> Option<&dyn Container> {
        self.list.as_container()
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)> {
        self.list.as_indexer()
    }

    fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)> {
        self.list.as_iterable()
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        self.list.as_sizer()
    }

    fn as_zeroer(&self) -> Option<&dyn Zeroer> {
        self.list.as_zeroer()
    }

    fn equals(&self, other: &dyn Val) -> bool {
        if other.as_sizer().map(|sizer| *sizer.size().inner()) != Some(*self.list.size().inner()) {
            return false;
        }
        let (Some(ours), Some(theirs)) = (self.by_key(self), self.by_key(other)) else { return false };
        ours.len() == theirs.len()
            && ours.iter().all(|(key, value)| theirs.get(key).is_some_and(|other| value.equals(*other)))
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }
}

impl StaticVal for KeyedList {}

impl Adder for KeyedList {
    fn add<'b, 'v>(&'b self, other: &(dyn Val + 'v)) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let overload =
            || ExecutionError::no_such_overload("_+_", vec!["list".into(), other.get_type().name().into()]);
        let mut added: Vec<(String, Box<dyn Val + 'v>)> = Vec::new();
        let mut elements = other.as_iterable().ok_or_else(overload)?.iter();
        while let Some(element) = elements.next() {
            added.push((self.key(element), element.clone_as_boxed()));
        }
        let mut at: HashMap<String, usize> = HashMap::new();
        let mut merged: Vec<Box<dyn Val + 'v>> = Vec::new();
        for element in self.list.inner() {
            at.insert(self.key(element.as_ref()), merged.len());
            merged.push(element.clone_as_boxed());
        }
        for (key, element) in added {
            if let Some(index) = at.get(&key) {
                merged[*index] = element;
            } else {
                at.insert(key, merged.len());
                merged.push(element);
            }
        }
        Ok(CowVal::owned(CelList::from(merged)))
    }
}

/// Goes through any list.
pub(super) fn elements<'b, 'v>(
    list: &'b (dyn Val + 'v),
) -> Result<Box<dyn traits::Iterator<'b, 'v> + 'b>, ExecutionError> {
    let overload =
        || ExecutionError::UnexpectedType { got: list.get_type().name().to_owned(), want: "list".into() };
    Ok(list.as_iterable().ok_or_else(overload)?.iter())
}
