package sidecar

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sallyport/admin"
	"sallyport/cmd/terms"
	"sallyport/sandbox"
)

// patched is a sandbox after a patch, and what changed.
func patched(old *sandbox.Sandbox, p admin.Patch, pl *plan) (*sandbox.Sandbox, map[string]string, error) {
	sb, what := *old, map[string]string{}
	if p.Labels != nil {
		sb.Labels = maps.Clone(old.Labels)
		if sb.Labels == nil {
			sb.Labels = map[string]string{}
		}
		for k, v := range p.Labels {
			if v == nil {
				delete(sb.Labels, k)
			} else {
				sb.Labels[k] = *v
			}
		}
		what["labels"] = strings.Join(slices.Sorted(maps.Keys(p.Labels)), " ")
	}
	if p.Props != nil {
		sb.Props = maps.Clone(old.Props)
		if sb.Props == nil {
			sb.Props = map[string]any{}
		}
		for k, v := range p.Props {
			if v == nil {
				delete(sb.Props, k)
			} else {
				sb.Props[k] = v
			}
		}
		what["props"] = strings.Join(slices.Sorted(maps.Keys(p.Props)), " ")
	}
	named, mode := sb.Policy, string(sb.Mode)
	if p.Policy != nil {
		named, what["policy"] = p.Policy, strings.Join(p.Policy, " ")
	}
	if p.Mode != nil {
		mode, what["mode"] = *p.Mode, *p.Mode
	}
	if p.Limits != nil {
		l, said, err := terms.PatchedLimits(sb.Limits, p.Limits)
		if err != nil {
			return nil, nil, err
		}
		sb.Limits, what["limits"] = l, said
	}
	checked, err := pl.describe(sb.Name, sb.Labels, sb.Props, named, mode, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", admin.ErrInvalid, err)
	}
	sb.Policy, sb.Mode = checked.Policy, checked.Mode
	if p.State != nil {
		if sb.Revoked {
			return nil, nil, fmt.Errorf("%w: %s is revoked, and stays so", admin.ErrConflict, sb.Name)
		}
		switch *p.State {
		case admin.Active:
			sb.Paused = false
		case admin.Paused:
			sb.Paused = true
		case admin.Revoked:
			sb.Revoked = true
		default:
			return nil, nil, fmt.Errorf("%w: state %q: expected active, paused or revoked", admin.ErrInvalid, *p.State)
		}
		what["state"] = *p.State
	}
	return &sb, what, nil
}
