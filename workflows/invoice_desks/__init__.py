"""What an invoice's workflow has done for it beside its loop: e-mails, charges, credit notes.

Each desk starts its work as tasks of the workflow and tells the outcome to the one `CaseFile`.
"""
