//! `format.dns1123Label()` and the like: what a string must look like, and what is wrong with it.

use cel::common::types::{CelList, CelOptional, CelString, STRING_TYPE};
use cel::common::value::Val;
use cel::{DeclarationError, Env};

use super::{answer, given, opaque, text, url::Url};
use crate::names::{self, NameRule};
use crate::schema::validate::format::accepts;

/// One of [`FORMATS`], by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named(&'static str);

opaque!(Named, "kubernetes.NamedFormat", TYPE);

/// Declares the function of every format: functions are plain pointers, so each has its own.
macro_rules! formats {
    ($env:ident: $($name:literal),*) => {
        $($env.add_overload(concat!("format.", $name), concat!("format-", $name), vec![], |_| answer(Named($name)))?;)*
        const FORMATS: &[&str] = &[$($name),*];
    };
}

pub(super) fn register(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_type(TYPE.to_owned())?;
    formats!(env: "dns1123Label", "dns1123Subdomain", "dns1035Label", "qualifiedName", "dns1123LabelPrefix",
        "dns1123SubdomainPrefix", "dns1035LabelPrefix", "labelValue", "uri", "uuid", "byte", "date", "datetime");
    env.add_overload("format.named", "format-named", vec![STRING_TYPE], |a| {
        let name = text(&a, 0)?;
        let found = FORMATS.iter().find(|known| **known == name);
        answer(CelOptional::from(found.map(|name| Box::new(Named(name)) as Box<dyn Val>)))
    })?;
    env.add_member_overload("validate", "format-validate", TYPE.to_owned(), vec![STRING_TYPE], |a| {
        let problem = given::<Named>(&a, 0)?.problem(text(&a, 1)?);
        answer(CelOptional::from(problem.map(|problem| {
            let problems: Vec<Box<dyn Val>> = vec![Box::new(CelString::from(problem))];
            Box::new(CelList::from(problems)) as Box<dyn Val>
        })))
    })
}

impl Named {
    fn problem(self, text: &str) -> Option<String> {
        let strict = |format: &str, problem: &str| (!accepts(format, text)).then(|| problem.to_owned());
        match self.0 {
            "dns1123Label" => NameRule::Label.check(text).err(),
            "dns1123Subdomain" => NameRule::Subdomain.check(text).err(),
            "dns1035Label" => NameRule::Service.check(text).err(),
            "dns1123LabelPrefix" => NameRule::Label.check_prefix(text).err(),
            "dns1123SubdomainPrefix" => NameRule::Subdomain.check_prefix(text).err(),
            "dns1035LabelPrefix" => NameRule::Service.check_prefix(text).err(),
            "qualifiedName" => names::qualified(text).err(),
            "labelValue" => names::label_value(text).err(),
            "uri" => Url::parse(text).err().map(|problem| format!("parse {text:?}: {problem}")),
            "uuid" => strict("uuid", "does not match the UUID format"),
            "byte" => strict("byte", "invalid base64"),
            "date" => strict("date", "invalid date"),
            _ => strict("date-time", "invalid datetime"),
        }
    }
}
