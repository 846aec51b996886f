"""How a run is put together: one self-contained YAML per recipe, with its measured results beside it."""
