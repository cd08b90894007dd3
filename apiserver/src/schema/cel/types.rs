//! The types of expressions: what they are called, and when one will do for another.
//!
//! A type variable ([`Ty::Var`]) stands for a type that is not known yet: the element of `[]`, the `A` of a function
//! that takes any list. [`Bindings`] learn what variables stand for as values meet parameters.

use std::fmt;
use std::sync::Arc;

/// A type.
#[derive(Debug, Clone)]
pub(super) enum Ty {
    /// Not known before evaluation: fits everything.
    Dyn,
    /// The type of what is wrong already, so that one mistake is told once.
    Error,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    List(Arc<Ty>),
    Map(Arc<Ty>, Arc<Ty>),
    Optional(Arc<Ty>),
    /// The type of `int`, `type(self)` and the like.
    Type(Arc<Ty>),
    /// An object with the fields that its schema names.
    Object(Arc<ObjectTy>),
    /// A type of a library, such as `kubernetes.Quantity`.
    Opaque(&'static str),
    Var(usize),
}

/// The fields of an object by their escaped names.
#[derive(Debug)]
pub(super) struct ObjectTy {
    /// Shown in messages.
    pub(super) name: String,
    pub(super) fields: Vec<(String, Ty)>,
}

impl ObjectTy {
    pub(super) fn field(&self, name: &str) -> Option<&Ty> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, ty)| ty)
    }
}

/// What type variables stand for.
#[derive(Debug, Clone, Default)]
pub(super) struct Bindings(Vec<Option<Ty>>);

impl Ty {
    pub(super) fn list(element: Ty) -> Self {
        Self::List(Arc::new(element))
    }

    pub(super) fn map(key: Ty, value: Ty) -> Self {
        Self::Map(Arc::new(key), Arc::new(value))
    }

    pub(super) fn optional(value: Ty) -> Self {
        Self::Optional(Arc::new(value))
    }

    pub(super) fn is_dyn_or_error(&self) -> bool {
        matches!(self, Self::Dyn | Self::Error)
    }

    /// What an optional holds; any other type is itself.
    pub(super) fn unwrap_optional(&self) -> (&Ty, bool) {
        match self {
            Self::Optional(inner) => (inner, true),
            other => (other, false),
        }
    }

    /// Whether two types are one and the same.
    pub(super) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::List(a), Self::List(b))
            | (Self::Optional(a), Self::Optional(b))
            | (Self::Type(a), Self::Type(b)) => a.same(b),
            (Self::Map(a, x), Self::Map(b, y)) => a.same(b) && x.same(y),
            (Self::Object(a), Self::Object(b)) => Arc::ptr_eq(a, b),
            (Self::Opaque(a), Self::Opaque(b)) => a == b,
            (Self::Var(a), Self::Var(b)) => a == b,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other) && !self.has_parts(),
        }
    }

    fn has_parts(&self) -> bool {
        matches!(self, Self::List(_) | Self::Map(..) | Self::Optional(_) | Self::Type(_) | Self::Object(_))
            || matches!(self, Self::Opaque(_) | Self::Var(_))
    }

    /// Whether null is a value of the type.
    fn is_nullable(&self) -> bool {
        matches!(
            self,
            Self::Null
                | Self::Optional(_)
                | Self::Object(_)
                | Self::Opaque(_)
                | Self::Timestamp
                | Self::Duration
        )
    }

    /// Whether the type says no more than the other: it has `dyn` or a variable where the other has a type.
    fn is_as_general(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dyn | Self::Var(_), _) | (Self::Type(_), Self::Type(_)) => true,
            (_, Self::Dyn | Self::Var(_)) => false,
            (Self::List(a), Self::List(b)) | (Self::Optional(a), Self::Optional(b)) => a.is_as_general(b),
            (Self::Map(a, x), Self::Map(b, y)) => a.is_as_general(b) && x.is_as_general(y),
            _ => self.same(other),
        }
    }

    /// The type with every variable moved up, so that two signatures do not share one.
    pub(super) fn shifted(&self, by: usize) -> Self {
        self.replaced(&|var| Self::Var(var + by))
    }

    fn replaced(&self, with: &dyn Fn(usize) -> Ty) -> Self {
        let inner = |ty: &Arc<Ty>| Arc::new(ty.replaced(with));
        match self {
            Self::Var(var) => with(*var),
            Self::List(element) => Self::List(inner(element)),
            Self::Map(key, value) => Self::Map(inner(key), inner(value)),
            Self::Optional(value) => Self::Optional(inner(value)),
            Self::Type(ty) => Self::Type(inner(ty)),
            other => other.clone(),
        }
    }
}

impl Bindings {
    /// A variable that stands for nothing yet.
    pub(super) fn fresh(&mut self) -> Ty {
        self.0.push(None);
        Ty::Var(self.0.len() - 1)
    }

    /// Room for the variables of a signature; the number of the first.
    pub(super) fn reserve(&mut self, variables: usize) -> usize {
        let first = self.0.len();
        self.0.resize(first + variables, None);
        first
    }

    /// The type with variables replaced by what they stand for.
    pub(super) fn resolve(&self, ty: &Ty) -> Ty {
        ty.replaced(&|var| match self.0.get(var) {
            Some(Some(known)) => self.resolve(known),
            _ => Ty::Var(var),
        })
    }

    /// Like [`Bindings::resolve`], with `dyn` for what stands for nothing.
    pub(super) fn settle(&self, ty: &Ty) -> Ty {
        self.resolve(ty).replaced(&|_| Ty::Dyn)
    }

    /// Whether values of these types will do for these parameters, all together. Learns from it if so.
    pub(super) fn assign_all<'a>(&mut self, pairs: impl IntoIterator<Item = (&'a Ty, &'a Ty)>) -> bool {
        let mut tried = self.clone();
        if !pairs.into_iter().all(|(value, parameter)| tried.unify(value, parameter)) {
            return false;
        }
        *self = tried;
        true
    }

    /// Whether the first type will do where the second is wanted, or the other way round.
    pub(super) fn assign(&mut self, value: &Ty, wanted: &Ty) -> bool {
        self.assign_all([(value, wanted)])
    }

    fn unify(&mut self, one: &Ty, other: &Ty) -> bool {
        match (one, other) {
            (_, Ty::Var(var)) => match self.bind(*var, one) {
                Some(fits) => fits,
                None => match one {
                    Ty::Var(var) => self.bind(*var, other).unwrap_or(false),
                    _ => false,
                },
            },
            (Ty::Var(var), _) => self.bind(*var, other).unwrap_or(false),
            _ if one.is_dyn_or_error() || other.is_dyn_or_error() => true,
            (Ty::Null, nullable) | (nullable, Ty::Null) => nullable.is_nullable(),
            (Ty::List(a), Ty::List(b)) | (Ty::Optional(a), Ty::Optional(b)) => self.unify(a, b),
            (Ty::Map(a, x), Ty::Map(b, y)) => self.unify(a, b) && self.unify(x, y),
            (Ty::Type(_), Ty::Type(_)) => true,
            _ => one.same(other),
        }
    }

    /// Makes a variable stand for a type, or for the more general of that and what it stands for. `None` when the
    /// type holds the variable itself.
    fn bind(&mut self, var: usize, ty: &Ty) -> Option<bool> {
        if matches!(ty, Ty::Var(same) if *same == var) {
            return Some(true);
        }
        if let Some(known) = self.0.get(var).cloned().flatten() {
            if known.same(ty) {
                return Some(true);
            }
            if !self.unify(ty, &known) {
                return Some(false);
            }
            let general = if ty.is_as_general(&known) { ty } else { &known };
            if !self.holds(general, var) {
                self.0[var] = Some(general.clone());
            }
            return Some(true);
        }
        if self.holds(ty, var) {
            return None;
        }
        self.0[var] = Some(ty.clone());
        Some(true)
    }

    fn holds(&self, ty: &Ty, var: usize) -> bool {
        match ty {
            Ty::Var(other) if *other == var => true,
            Ty::Var(other) => {
                self.0.get(*other).cloned().flatten().is_some_and(|known| self.holds(&known, var))
            }
            Ty::List(inner) | Ty::Optional(inner) | Ty::Type(inner) => self.holds(inner, var),
            Ty::Map(key, value) => self.holds(key, var) || self.holds(value, var),
            _ => false,
        }
    }

    /// The more general of two types that fit each other; `None` when they do not.
    pub(super) fn join(&mut self, previous: &Ty, current: &Ty) -> Option<Ty> {
        if !self.assign(previous, current) {
            return None;
        }
        Some(if previous.is_as_general(current) { previous.clone() } else { current.clone() })
    }
}

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn => f.write_str("dyn"),
            Self::Error => f.write_str("!error!"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Duration => f.write_str("duration"),
            Self::List(element) => write!(f, "list({element})"),
            Self::Map(key, value) => write!(f, "map({key}, {value})"),
            Self::Optional(value) => write!(f, "optional_type({value})"),
            Self::Type(ty) => write!(f, "type({ty})"),
            Self::Object(object) => f.write_str(&object.name),
            Self::Opaque(name) => f.write_str(name),
            Self::Var(var) => write!(f, "_var{var}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_learns_the_more_general_type() {
        let mut bindings = Bindings::default();
        let var = bindings.fresh();
        assert!(bindings.assign(&Ty::Int, &var));
        assert!(!bindings.assign(&Ty::String, &var));
        assert!(bindings.assign(&Ty::Dyn, &var));
        assert_eq!(bindings.resolve(&Ty::list(var)).to_string(), "list(dyn)");
    }

    #[test]
    fn a_type_does_not_hold_itself() {
        let mut bindings = Bindings::default();
        let var = bindings.fresh();
        assert!(!bindings.assign(&Ty::list(var.clone()), &var));
        assert_eq!(bindings.settle(&Ty::map(Ty::String, var)).to_string(), "map(string, dyn)");
    }

    #[test]
    fn null_fits_objects_and_not_numbers() {
        let mut bindings = Bindings::default();
        let object = Ty::Object(Arc::new(ObjectTy { name: "object".into(), fields: Vec::new() }));
        assert!(bindings.assign(&Ty::Null, &object));
        assert!(!bindings.assign(&Ty::Int, &Ty::Null));
    }
}
