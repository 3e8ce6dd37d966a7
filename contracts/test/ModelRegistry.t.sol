// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "../src/interfaces/IModelRegistry.sol";
import {Claims} from "../src/libraries/Claims.sol";
import {CodeStorage} from "../src/libraries/CodeStorage.sol";
import {Deployment} from "./Deployment.sol";
import {vm} from "./Vm.sol";

/// @title Models: an id is its contents, for ever
contract ModelRegistryTest is Deployment {
    function testFuzz_ACanonicalModelKeepsItsCircuit(bytes32 manifest, bytes calldata circuit) public {
        vm.assume(manifest != 0 && circuit.length != 0);
        bytes32 id = Claims.hashModel(1, manifest, keccak256(circuit));
        vm.expectEmit(address(models));
        emit IModelRegistry.ModelRegistered(id, 1, manifest, keccak256(circuit), address(this), "file:a");
        vm.assertEq(models.register(1, manifest, circuit, "file:a"), id);
        vm.assertEq(models.circuitOf(id), circuit);
        IModelRegistry.Model memory model = models.modelOf(id);
        vm.assertEq(model.owner, address(this));
        vm.assertEq(model.kind, 1);
        vm.assertEq(model.manifestDigest, manifest);
        vm.assertEq(model.circuitDigest, keccak256(circuit));
        vm.assertEq(model.circuitPointer.code, bytes.concat(hex"00", circuit));
    }

    function test_TheLargestCircuitFitsAndOneByteMoreDoesNot() public {
        bytes memory circuit = new bytes(24_575);
        bytes32 id = models.register(1, "m", circuit, "");
        vm.assertEq(models.circuitOf(id), circuit);
        vm.expectRevert(abi.encodeWithSelector(CodeStorage.TooLong.selector, 24_575, 24_576));
        models.register(1, "m2", new bytes(24_576), "");
    }

    /// @dev Stored bytes begin with STOP: a circuit that is a program does nothing when called.
    function test_ACircuitCannotBeExecuted() public {
        bytes32 id = models.register(1, "m", hex"5f5ffd", "");
        (bool isSuccess,) = models.modelOf(id).circuitPointer.call("");
        vm.assertEq(isSuccess, true);
    }

    function test_AnOpaqueModelHasNoCircuit() public {
        bytes32 id = models.register(2, "m", "", "");
        vm.assertEq(models.circuitOf(id).length, 0);
        vm.assertEq(models.modelOf(id).circuitPointer, address(0));
        vm.assertEq(models.modelOf(id).circuitDigest, bytes32(0));
        vm.expectRevert(IModelRegistry.CircuitUnexpected.selector);
        models.register(2, "m2", hex"01", "");
        vm.expectRevert(IModelRegistry.CircuitMissing.selector);
        models.register(1, "m2", "", "");
    }

    function testFuzz_UnknownKindsAreRefused(uint8 kind) public {
        vm.assume(kind != 1 && kind != 2);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.UnknownKind.selector, kind));
        models.register(kind, "m", hex"01", "");
    }

    function test_AModelWithoutAManifestIsRefused() public {
        vm.expectRevert(IModelRegistry.ManifestMissing.selector);
        models.register(2, 0, "", "");
    }

    function test_AModelIsRegisteredOnce() public {
        bytes32 id = models.register(2, "m", "", "here");
        vm.prank(address(0xBAD));
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.AlreadyRegistered.selector, id));
        models.register(2, "m", "", "elsewhere");
    }

    function test_TheOwnerDeprecatesOnceAndNobodyElse() public {
        bytes32 id = models.register(2, "m", "", "");
        vm.assertEq(models.isActive(id), true);
        vm.prank(address(0xBAD));
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NotModelOwner.selector, address(this), address(0xBAD)));
        models.deprecate(id);
        models.deprecate(id);
        vm.assertEq(models.isActive(id), false);
        vm.assertEq(models.modelOf(id).isDeprecated, true);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.AlreadyDeprecated.selector, id));
        models.deprecate(id);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.AlreadyRegistered.selector, id));
        models.register(2, "m", "", "");
    }

    function test_AnUnknownModelHasNothing() public {
        vm.assertEq(models.isActive("none"), false);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.UnknownModel.selector, bytes32("none")));
        models.modelOf("none");
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.UnknownModel.selector, bytes32("none")));
        models.circuitOf("none");
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.UnknownModel.selector, bytes32("none")));
        models.deprecate("none");
    }
}
