// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! The object check: floats stay on the float island.
//!
//! The kernel's Rust code is compiled for soft floats, and each float operation there is a call of an
//! intrinsic that panics. So no object of ours but the island may want one, and the island may want
//! nothing but what `configs/island-symbols.txt` allows.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context as _, Result};

use super::config::Build;
use super::prepare;
use super::Flavour;
use crate::context::Context;
use crate::sh;

/// The island's object, seen from the build directory.
const ISLAND: &str = "drivers/llamux/math/llamux_math.o";

/// Checks the objects of a build.
pub(crate) fn check(cx: &Context, build: &Build) -> Result<()> {
    let ours = build.dir.join("drivers/llamux");
    if build.variant.flavour == Flavour::WithoutLlamux {
        if ours.join("llamux.o").exists() {
            bail!(
                "{} was built although CONFIG_LLAMUX is off",
                ours.join("llamux.o").display()
            );
        }
        return Ok(());
    }
    let island = build.dir.join(ISLAND);
    if !island.exists() {
        bail!(
            "{} was not built: the check has nothing to look at",
            island.display()
        );
    }
    let nm = build.toolchain.llvm_program("llvm-nm");
    let mut complaints = Vec::new();
    let mut checked = 0;

    let mut objects = objects(&build.dir.join("rust"))?;
    // The library core has float functions, and compiler_builtins is where the intrinsics are.
    objects.retain(|path| {
        !["core.o", "compiler_builtins.o"]
            .iter()
            .any(|name| path.ends_with(Path::new("rust").join(name)))
    });
    // The island, what is linked from it, and its private copy of core, of which no object is used.
    objects.extend(
        self::objects(&ours)?
            .into_iter()
            .filter(|path| !path.starts_with(ours.join("math")) && *path != ours.join("llamux.o")),
    );
    for path in &objects {
        checked += 1;
        for symbol in undefined(&nm, path)? {
            if is_float_intrinsic(&symbol) {
                complaints.push(format!("{} wants {symbol}", shown(path, &build.dir)));
            }
        }
    }

    let list = cx.root.join("configs/island-symbols.txt");
    let allowed = fs::read_to_string(&list).with_context(|| format!("no {}", list.display()))?;
    for symbol in undefined(&nm, &island)? {
        if !allows(&allowed, &symbol) {
            complaints.push(format!(
                "{ISLAND} wants {symbol}, which {} does not allow",
                list.display()
            ));
        }
    }
    if !complaints.is_empty() {
        bail!("the object check failed:\n  {}", complaints.join("\n  "));
    }
    eprintln!("kernel: object check passed, {} objects", checked + 1);
    Ok(())
}

fn objects(dir: &Path) -> Result<Vec<PathBuf>> {
    Ok(prepare::files(dir)?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ext| ext == "o"))
        .collect())
}

fn shown<'a>(path: &'a Path, dir: &Path) -> std::path::Display<'a> {
    path.strip_prefix(dir).unwrap_or(path).display()
}

/// The symbols that an object wants, demangled.
fn undefined(nm: &str, object: &Path) -> Result<Vec<String>> {
    let text = sh::read(
        sh::cmd(nm)
            .args(["--undefined-only", "--demangle", "--format=just-symbols"])
            .arg(object),
    )?;
    Ok(text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect())
}

/// The soft-float functions of the compiler's run-time library, by their naming scheme.
///
/// Operands are `sf`, `df`, `tf`, `hf`; conversions end in the other type: `__floatsisf`, `__fixdfdi`.
fn is_float_intrinsic(symbol: &str) -> bool {
    // The kernel's own names for those that panic.
    let Some(name) = symbol
        .strip_prefix("__rust__")
        .or_else(|| symbol.strip_prefix("__"))
    else {
        return MATH_FUNCTIONS.contains(&symbol);
    };
    let has = |types: &[&str]| types.iter().any(|ty| name.contains(ty));
    let arithmetic = [
        "add", "sub", "mul", "div", "neg", "eq", "ne", "lt", "le", "gt", "ge", "cmp", "unord",
        "pow",
    ];
    let float = has(&["sf", "df", "tf", "hf"]);
    let ends_like_one = name
        .trim_end_matches(|c: char| c.is_ascii_digit())
        .ends_with(['f', 'i']);
    float
        && ends_like_one
        && (arithmetic.iter().any(|op| name.starts_with(op))
            || ["float", "fix", "extend", "trunc"]
                .iter()
                .any(|op| name.starts_with(op)))
}

/// What a float method of core or std calls.
const MATH_FUNCTIONS: &[&str] = &[
    "sqrtf", "sqrt", "expf", "exp", "exp2f", "exp2", "logf", "log", "powf", "pow", "sinf", "sin",
    "cosf", "cos", "fmaf", "fma", "fmodf", "fmod", "floorf", "floor", "ceilf", "ceil", "roundf",
    "round", "rintf", "rint", "truncf", "trunc", "fmaxf", "fmax", "fminf", "fmin", "tanhf", "tanh",
];

/// Whether the list has the symbol; a line that ends in `*` allows whatever begins like it.
fn allows(list: &str, symbol: &str) -> bool {
    list.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .any(|line| match line.strip_suffix('*') {
            Some(prefix) => symbol.starts_with(prefix),
            None => line == symbol,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn float_intrinsics_are_told_from_integer_ones() {
        for name in [
            "__addsf3",
            "__mulsf3",
            "__gtsf2",
            "__floatsisf",
            "__floatunsidf",
            "__fixsfsi",
            "__fixunsdfdi",
            "__extendsfdf2",
            "__truncdfsf2",
            "__unordsf2",
            "__extendhfsf2",
            "__negdf2",
            "__powisf2",
            "__rust__addsf3",
            "__rust__unorddf2",
            "__divdf3",
            "expf",
            "sqrtf",
        ] {
            assert!(is_float_intrinsic(name), "{name}");
        }
        for name in [
            "__multi3",
            "__udivti3",
            "__umodti3",
            "__rust__muloti4",
            "__stack_chk_fail",
            "memcpy",
            "__fentry__",
            "__kmalloc",
            "_printk",
            "__x86_return_thunk",
            "__asan_load4",
            "__ubsan_handle_divrem_overflow",
            "__init_waitqueue_head",
            "__tracepoint_sched_df",
        ] {
            assert!(!is_float_intrinsic(name), "{name}");
        }
    }

    #[test]
    fn the_list_allows_names_and_beginnings() {
        let list = "# panics\nmemcpy\ncore::panicking::*\n";
        assert!(allows(list, "memcpy"));
        assert!(allows(list, "core::panicking::panic_fmt"));
        assert!(!allows(list, "memcpy_toio"));
        assert!(!allows(list, "<f32>::exp"));
        assert!(!allows(list, "# panics"));
    }
}
