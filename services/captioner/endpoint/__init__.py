"""The image endpoint of the enterprise contract."""
