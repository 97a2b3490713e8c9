"""The tests of gpfn; each folder mirrors one of src/gpfn."""
