"""The one kind of error that is the user's to mend; everything else is a bug of ours and shows its traceback."""


class UserError(ValueError):
    """Something that the user can put right, with a sentence that says how."""
