"""Intake: takes images in, hands them to the pipeline, and gives bytes and news out."""
