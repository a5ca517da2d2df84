package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	imageFile  = "disk.img"
	recordFile = "record.json"
)

var (
	errAbsent = errors.New("not found")
	validID   = regexp.MustCompile(`^(volume|snapshot)-[0-9a-f]{32}$`)
)

// record is what is remembered of a volume or snapshot beside its image. It is written once. The size is not in it: it is the
// image's own, so the two cannot disagree.
type record struct {
	Name    string    `json:"name"`
	Source  string    `json:"source,omitempty"` // the volume or snapshot that the image is a copy of
	Created time.Time `json:"created"`
}

// item is one volume or snapshot.
type item struct {
	record
	ID    string
	Image string
	Size  int64
}

// store keeps volumes, or snapshots, as directories ROOT/ID with an image and a record in each.
//
// A directory is filled under a name with a leading dot and renamed when it is complete, and renamed back before it is emptied:
// whatever has a proper name is whole, at every moment.
type store struct {
	root, kind string
}

// openStore opens, or makes, the store at root and clears away what an interrupted call left.
func openStore(root, kind string) (*store, error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			if err := os.RemoveAll(filepath.Join(root, entry.Name())); err != nil {
				return nil, err
			}
		}
	}
	return &store{root: root, kind: kind}, nil
}

// id is the same for the same name: a repeated request finds what the first one made.
func (s *store) id(name string) string {
	return fmt.Sprintf("%s-%.16x", s.kind, sha256.Sum256([]byte(name)))
}

func (s *store) image(id string) string { return filepath.Join(s.root, id, imageFile) }

func (s *store) has(id string) bool {
	if !validID.MatchString(id) {
		return false // among others what would lead out of the store
	}
	_, err := os.Stat(filepath.Join(s.root, id))
	return err == nil
}

// find returns errAbsent for what does not exist, and an error that names the file for what cannot be read.
func (s *store) find(id string) (item, error) {
	if !s.has(id) {
		return item{}, fmt.Errorf("%s %q: %w", s.kind, id, errAbsent)
	}
	found := item{ID: id, Image: s.image(id)}
	place := filepath.Join(s.root, id, recordFile)
	content, err := os.ReadFile(place)
	if err == nil {
		err = json.Unmarshal(content, &found.record)
	}
	if err == nil && s.id(found.Name) != id {
		err = fmt.Errorf("belongs to %q", found.Name)
	}
	if err != nil {
		return item{}, s.damaged(id, fmt.Errorf("%s: damaged record: %w; delete the %s or restore the file", place, err, s.kind))
	}
	image, err := os.Stat(found.Image)
	if err != nil {
		return item{}, s.damaged(id, fmt.Errorf("%s %s: damaged: %w", s.kind, id, err))
	}
	found.Size = image.Size()
	return found, nil
}

// damaged returns the error, unless the item was deleted while it was read.
func (s *store) damaged(id string, err error) error {
	if !s.has(id) {
		return fmt.Errorf("%s %q: %w", s.kind, id, errAbsent)
	}
	return err
}

// list returns everything in the order of the IDs. One damaged record fails the call: a list with holes would be taken for whole.
func (s *store) list() ([]item, error) {
	entries, err := os.ReadDir(s.root)
	if err != nil {
		return nil, err
	}
	var items []item
	for _, entry := range entries {
		if !validID.MatchString(entry.Name()) {
			continue
		}
		found, err := s.find(entry.Name())
		if errors.Is(err, errAbsent) {
			continue // deleted since the directory was read
		}
		if err != nil {
			return nil, err
		}
		items = append(items, found)
	}
	return items, nil
}

// create calls fill to write the image and makes the item appear, whole and on disk, or not at all.
func (s *store) create(name, source string, fill func(image string) error) (item, error) {
	id := s.id(name)
	partial := filepath.Join(s.root, "."+id)
	if err := s.build(partial, record{Name: name, Source: source, Created: time.Now().UTC()}, fill); err != nil {
		return item{}, errors.Join(err, os.RemoveAll(partial))
	}
	if err := os.Rename(partial, filepath.Join(s.root, id)); err != nil {
		return item{}, err
	}
	if err := flush(s.root); err != nil {
		return item{}, err
	}
	return s.find(id)
}

func (s *store) build(partial string, made record, fill func(image string) error) error {
	if err := os.RemoveAll(partial); err != nil {
		return err
	}
	if err := os.Mkdir(partial, 0o700); err != nil {
		return err
	}
	image := filepath.Join(partial, imageFile)
	if err := fill(image); err != nil {
		return err
	}
	content, err := json.Marshal(made)
	if err != nil {
		return err
	}
	place := filepath.Join(partial, recordFile)
	if err := os.WriteFile(place, content, 0o600); err != nil {
		return err
	}
	return errors.Join(flush(image), flush(place), flush(partial))
}

// remove is done when the item is gone; removing what does not exist is no error.
func (s *store) remove(id string) error {
	if !s.has(id) {
		return nil
	}
	hidden := filepath.Join(s.root, "."+id)
	if err := os.RemoveAll(hidden); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(s.root, id), hidden); err != nil {
		return err
	}
	return errors.Join(flush(s.root), os.RemoveAll(hidden))
}

// promised is how much the images may still grow on disk before each is as large as it claims to be.
func (s *store) promised() (int64, error) {
	images, err := filepath.Glob(filepath.Join(s.root, "*", imageFile)) // a leading dot matches too: what is being made counts
	if err != nil {
		return 0, err
	}
	var total int64
	for _, image := range images {
		var status unix.Stat_t
		if err := unix.Stat(image, &status); errors.Is(err, unix.ENOENT) {
			continue
		} else if err != nil {
			return 0, fmt.Errorf("%s: %w", image, err)
		}
		total += max(0, status.Size-status.Blocks*512)
	}
	return total, nil
}

// flush waits until a file's content, or a directory's names, are on the disk.
func flush(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
