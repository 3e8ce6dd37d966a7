// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {CodeStorage} from "../src/libraries/CodeStorage.sol";
import {CircuitReader} from "../src/verifiers/CircuitReader.sol";
import {ProofFixture, TellingVerifier, Vector} from "./ProofFixture.sol";
import {vm} from "./Vm.sol";

/// @title Prepared models: their images say what the registry says, or are not there
contract ProofImagesTest is ProofFixture {
    bytes private constant CREATOR = hex"67363d3d37363d34f03d5260086018f3";

    function verify(TellingVerifier verifier, Vector memory v) private view {
        verifier.verifyProof(v.modelId, v.context, v.input, v.output, v.proof);
    }

    /// @dev What creates a piece, by the definitions of CREATE2.
    function creatorOf(TellingVerifier verifier, bytes32 modelId, uint256 piece) private view returns (address) {
        bytes32 salt = keccak256(abi.encode(modelId, piece));
        bytes memory digested = abi.encodePacked(hex"ff", address(verifier.READER()), salt, keccak256(CREATOR));
        return address(uint160(uint256(keccak256(digested))));
    }

    function pieceOf(TellingVerifier verifier, bytes32 modelId, uint256 piece) private view returns (address) {
        return vm.computeCreateAddress(creatorOf(verifier, modelId, piece), 1);
    }

    function storedImage(TellingVerifier verifier, bytes32 modelId) private view returns (bytes memory image) {
        for (uint256 i; pieceOf(verifier, modelId, i).code.length != 0; ++i) {
            image = bytes.concat(image, CodeStorage.read(pieceOf(verifier, modelId, i)));
        }
    }

    function readImage(TellingVerifier verifier, bytes32 modelId) private view returns (bytes memory image) {
        bool isSuccess;
        (isSuccess, image) = address(verifier.READER()).staticcall(abi.encodeCall(CircuitReader.read, (modelId)));
        vm.assertTrue(isSuccess, "read");
    }

    // ---- what is kept -------------------------------------------------------------------------------------------

    function test_AnImageIsWhatTheReaderGives() public {
        requireSame("zoo", 1);
        requireSame("committed-3-5-7-chunks-of-32", 1);
        requireSame("mlp-784-1024-256-10", 1);
        requireSame("zoo-chunks-of-32", 2);
    }

    function requireSame(string memory name, uint256 calls) private {
        Vector memory v = loadVector(name);
        TellingVerifier verifier = prepare(v);
        for (uint256 i = 1; i <= calls; ++i) {
            vm.assertEq(verifier.imageOf(v.modelId), address(0));
            address image = verifier.prepare(v.modelId);
            vm.assertEq(image, i < calls ? address(0) : pieceOf(verifier, v.modelId, 0));
            // Whether half of it is there or all: the same verdict.
            verify(verifier, v);
        }
        vm.assertEq(storedImage(verifier, v.modelId), readImage(verifier, v.modelId));
        vm.assertEq(verifier.prepare(v.modelId), verifier.imageOf(v.modelId));
    }

    /// @dev Anybody may have the reader write, and writes the same.
    function test_WhoWritesDoesNotMatter() public {
        Vector memory v = loadVector("zoo");
        TellingVerifier verifier = prepare(v);
        CircuitReader reader = verifier.READER();
        vm.prank(address(0xBAD));
        reader.write(v.modelId);
        vm.assertEq(storedImage(verifier, v.modelId), readImage(verifier, v.modelId));
        vm.assertEq(verifier.imageOf(v.modelId), pieceOf(verifier, v.modelId, 0));
        verify(verifier, v);
    }

    /// @dev Another model has another image, though only the order of two commitments tells them apart.
    function test_AnImageIsOfOneModel() public {
        Vector memory v = loadVector("zoo");
        TellingVerifier verifier = prepare(v);
        bytes[] memory parts = v.parts;
        bytes memory part = parts[0];
        for (uint256 i; i < 96; ++i) {
            (part[i], part[96 + i]) = (part[96 + i], part[i]);
        }
        bytes32 other = register(v.circuit, parts, v.manifest);
        address otherImage = verifier.prepare(other);
        address image = verifier.prepare(v.modelId);
        vm.assertTrue(image != otherImage && keccak256(image.code) != keccak256(otherImage.code), "two images");
        vm.expectRevert();
        verifier.verifyProof(other, v.context, v.input, v.output, v.proof);
        verify(verifier, v);
    }

    // ---- what is refused ----------------------------------------------------------------------------------------

    /// @dev Whoever calls what created a piece creates something elsewhere: its first creation was the piece.
    function test_ACreatorDoesNotCreateAPieceAgain() public {
        Vector memory v = loadVector("zoo");
        TellingVerifier verifier = prepare(v);
        bytes32 before = keccak256(verifier.prepare(v.modelId).code);
        bytes memory garbage = CodeStorage.makeCreationCode("another image");
        (bool isSuccess,) = creatorOf(verifier, v.modelId, 0).call(garbage);
        vm.assertTrue(isSuccess, "the creator answers anybody");
        vm.assertEq(keccak256(verifier.imageOf(v.modelId).code), before);
        verify(verifier, v);
    }

    /// @dev The creator exists only together with its piece, and cannot be made by another.
    function test_NobodyIsThereBeforeTheReader() public {
        Vector memory v = loadVector("zoo");
        TellingVerifier verifier = prepare(v);
        bytes32 salt = keccak256(abi.encode(v.modelId, 0));
        bytes memory creator = CREATOR;
        address made;
        assembly {
            made := create2(0, add(creator, 0x20), mload(creator), salt)
        }
        vm.assertTrue(made != address(0) && made != creatorOf(verifier, v.modelId, 0), "elsewhere");
        (bool isSuccess,) = made.call(CodeStorage.makeCreationCode("another image"));
        vm.assertTrue(isSuccess, "created");
        vm.assertEq(verifier.imageOf(v.modelId), address(0));
        verify(verifier, v);
    }

    /// @dev A piece that is not there (it cannot be) makes no image of zeros: the registry is read.
    function test_HalfAnImageIsNone() public {
        Vector memory v = loadVector("mlp-784-1024-256-10");
        TellingVerifier verifier = prepare(v);
        verifier.prepare(v.modelId);
        vm.etch(pieceOf(verifier, v.modelId, 1), "");
        verify(verifier, v);
    }

    function test_TooLittleGasPreparesNothing() public {
        Vector memory v = loadVector("mlp-784-256-128-10");
        TellingVerifier verifier = prepare(v);
        vm.expectRevert();
        verifier.prepare{gas: 2_500_000}(v.modelId);
        vm.assertEq(verifier.imageOf(v.modelId), address(0));
        vm.assertEq(creatorOf(verifier, v.modelId, 0).code.length, 0);
        verify(verifier, v);
    }

    function test_WhatIsNoModelHasNoImage() public {
        TellingVerifier verifier = prepare(loadVector("zoo"));
        bytes32 nothing = keccak256("nothing");
        vm.assertEq(verifier.imageOf(nothing), address(0));
        vm.expectRevert();
        verifier.prepare(nothing);
    }
}
