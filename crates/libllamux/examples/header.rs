// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! Writes the header of the library and its pkg-config file into a directory:
//! `cargo run -p libllamux --example llamux-header -- DIRECTORY`.

use std::error::Error;
use std::fs;
use std::path::Path;

/// What pkg-config says, with the version put in. Where a system keeps its libraries elsewhere, whoever installs the
/// file changes `libdir`.
const PKG_CONFIG: &str = "\
prefix=/usr
includedir=${prefix}/include
libdir=${prefix}/lib

Name: libllamux
Description: Asks the kernel's language model
Version: @VERSION@
Libs: -L${libdir} -lllamux
Cflags: -I${includedir}
";

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os()
        .nth(1)
        .ok_or("usage: llamux-header DIRECTORY")?;
    let directory = Path::new(&directory);
    fs::create_dir_all(directory)?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(source.join("cbindgen.toml"))?;
    let bindings = cbindgen::Builder::new()
        .with_config(config)
        .with_src(source.join("src/libllamux.rs"))
        .generate()?;
    let header = directory.join("llamux.h");
    bindings.write_to_file(&header);
    println!("{}", header.display());
    let file = directory.join("llamux.pc");
    let text = PKG_CONFIG.replace("@VERSION@", env!("CARGO_PKG_VERSION"));
    fs::write(&file, text)?;
    println!("{}", file.display());
    Ok(())
}
