//! The committed code is what the committed definitions generate.
//!
//! Generating at build time would make every build need the generator; this test is what makes
//! the committed copy safe. After a change of a `.proto`, run it with `BLESS=1`.

use std::path::Path;

use protox::prost::Message as _;

#[test]
fn the_generated_code_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let committed = root.join("src/generated");
    let scratch = tempfile::tempdir().expect("a scratch folder");

    let mut compiler = protox::Compiler::new([root]).expect("the root of the definitions");
    compiler.include_source_info(true).include_imports(true);
    compiler
        .open_file("operator/v1/operator.proto")
        .expect("valid definitions");
    let descriptors = compiler.file_descriptor_set();

    tonic_prost_build::configure()
        .out_dir(scratch.path())
        .compile_fds(descriptors)
        .expect("generated code");

    // Reflection serves the definitions without their comments.
    let mut compiler = protox::Compiler::new([root]).expect("the root of the definitions");
    compiler.include_imports(true);
    compiler
        .open_file("operator/v1/operator.proto")
        .expect("valid definitions");
    let bare = compiler.file_descriptor_set().encode_to_vec();

    let code =
        std::fs::read(scratch.path().join("agentidp.operator.v1.rs")).expect("the generated file");
    for (name, bytes) in [("agentidp.operator.v1.rs", code), ("operator.v1.bin", bare)] {
        let path = committed.join(name);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &bytes).expect("a writable checkout");
        }
        let now = std::fs::read(&path).unwrap_or_default();
        assert!(
            now == bytes,
            "{name} is out of date: run this test with BLESS=1 and commit the result"
        );
    }
}
